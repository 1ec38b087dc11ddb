"""Every fault in English and Chinese, with the mend."""

from collections.abc import Mapping
from typing import Final

from data.quality.finding import Fault, Words

ENGLISH: Final[Mapping[Fault, Words]] = {
    Fault.BLURRED: Words(
        "The picture is not sharp.", "Hold still, tap on the lesion to focus, take it again."
    ),
    Fault.NOISY: Words("The picture is grainy.", "Use more light, without digital zoom."),
    Fault.TOO_DARK: Words("The picture is too dark.", "Go to a window or use a lamp, take it again."),
    Fault.TOO_BRIGHT: Words("The picture is too bright.", "Turn the flash off or go out of the sun."),
    Fault.COLOUR_CAST: Words(
        "The colours are off.", "Use daylight or white light; no coloured lamp or filter."
    ),
    Fault.GLARE: Words(
        "Light is reflected on the skin.", "Tilt the camera or the lamp, or use polarised light."
    ),
    Fault.HAIR: Words("Hair lies over the lesion.", "Comb or clip it aside, take it again."),
    Fault.LOW_RESOLUTION: Words(
        "The picture has few pixels.", "Send the original, not a preview or screenshot."
    ),
    Fault.NO_LESION: Words("No lesion can be made out.", "Put the lesion in the middle, take it again."),
    Fault.LESION_TOO_SMALL: Words(
        "The lesion is very small in the picture.", "Go closer; 10 cm are a good distance."
    ),
    Fault.LESION_CUT_OFF: Words(
        "The lesion reaches the picture's edge.", "Step back until its whole rim shows."
    ),
    Fault.VIEW_MISSING: Words("The view is not stated.", "Enter the view (PA, AP, lateral) at the device."),
    Fault.LATERALITY_MISSING: Words("The side is not stated.", "Enter left or right at the device."),
    Fault.MODALITY_WRONG: Words(
        "The modality does not fit the kind of object.", "Have the device's settings checked."
    ),
    Fault.SLICES_MISSING: Words("Slices are missing in between.", "Send the series again, all of it."),
    Fault.SLICES_TOO_THICK: Words("The slices are thick.", "Send thin slices as well, if there are any."),
    Fault.TEXT_IN_PICTURE: Words(
        "There may be text in the picture itself.", "Send the image without annotation; check it for names."
    ),
    Fault.GREY_CLIPPED: Words(
        "Much of the picture is plain white or black.", "Send the original grey values, not an export."
    ),
    Fault.GREY_INVERTED: Words(
        "Black and white seem to be exchanged.", "Check the display setting at the device."
    ),
}

CHINESE: Final[Mapping[Fault, Words]] = {
    Fault.BLURRED: Words("图像不清晰。", "请保持稳定，点按病灶对焦后重拍。"),
    Fault.NOISY: Words("图像噪点较多。", "请增加照明，不要使用数码变焦。"),
    Fault.TOO_DARK: Words("图像过暗。", "请靠近窗户或打开灯光后重拍。"),
    Fault.TOO_BRIGHT: Words("图像过亮。", "请关闭闪光灯或避开阳光直射后重拍。"),
    Fault.COLOUR_CAST: Words("颜色偏差明显。", "请使用日光或白光，不要使用彩色灯光或滤镜。"),
    Fault.GLARE: Words("皮肤上有反光。", "请调整相机或灯光角度，或使用偏振光。"),
    Fault.HAIR: Words("毛发遮挡病灶。", "请将毛发拨开或剪短后重拍。"),
    Fault.LOW_RESOLUTION: Words("图像像素过低。", "请发送原图，不要发送预览图或截屏。"),
    Fault.NO_LESION: Words("未能辨认出病灶。", "请将病灶置于画面中央后重拍。"),
    Fault.LESION_TOO_SMALL: Words("病灶在画面中过小。", "请靠近拍摄，距离约10厘米为宜。"),
    Fault.LESION_CUT_OFF: Words("病灶超出画面边缘。", "请稍微后退，使病灶边缘完整入镜。"),
    Fault.VIEW_MISSING: Words("未注明投照体位。", "请在设备上填写体位（后前位、前后位、侧位）。"),
    Fault.LATERALITY_MISSING: Words("未注明左右侧。", "请在设备上填写左侧或右侧。"),
    Fault.MODALITY_WRONG: Words("检查类型与对象类别不符。", "请检查设备的设置。"),
    Fault.SLICES_MISSING: Words("序列中缺少层面。", "请重新发送完整的序列。"),
    Fault.SLICES_TOO_THICK: Words("层厚过大。", "如有薄层图像，请一并发送。"),
    Fault.TEXT_IN_PICTURE: Words("图像中可能含有文字。", "请发送无标注的图像，并检查是否含有姓名。"),
    Fault.GREY_CLIPPED: Words("图像大片区域为纯白或纯黑。", "请发送原始灰度数据，而非导出图片。"),
    Fault.GREY_INVERTED: Words("黑白可能颠倒。", "请检查设备的显示设置。"),
}
